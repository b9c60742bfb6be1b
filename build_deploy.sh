#!/usr/bin/env bash
# Builds the image of the commit that is checked out and pushes it, tagged with the first 7
# characters of the commit's id and as latest. From the environment:
#
#   REGISTRY, REGISTRY_USER, REGISTRY_TOKEN   where to push to, and as whom; without REGISTRY the
#                                             image is built and stays here
#   BASE_IMAGE                                with its registry, see Dockerfile
#   IMAGE                                     name in the registry, cloudservices/cloudigrade
#   CONTAINER_ENGINE                          podman if it is there, else docker
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [[ -z ${CONTAINER_ENGINE:-} ]]; then
    CONTAINER_ENGINE=$(command -v podman || command -v docker) || {
        echo "Neither podman nor docker is here; CONTAINER_ENGINE may name another one." >&2
        exit 1
    }
fi
if [[ -n $(git status --porcelain) ]]; then
    echo "What is checked out differs from its commit; an image of it would have a wrong tag." >&2
    exit 1
fi

image=${REGISTRY:+$REGISTRY/}${IMAGE:-cloudservices/cloudigrade}
tag=$(git rev-parse --short=7 HEAD)

"$CONTAINER_ENGINE" build --build-arg "VERSION=$tag" \
    ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} \
    --tag "$image:$tag" --tag "$image:latest" .

if [[ -n ${REGISTRY:-} ]]; then
    # What logging in leaves behind goes away with the script.
    credentials=$(mktemp -d)
    trap 'rm -rf "$credentials"' EXIT
    export DOCKER_CONFIG=$credentials REGISTRY_AUTH_FILE=$credentials/config.json
    "$CONTAINER_ENGINE" login --username "${REGISTRY_USER:?}" --password-stdin "$REGISTRY" \
        <<<"${REGISTRY_TOKEN:?}"
    "$CONTAINER_ENGINE" push "$image:$tag"
    "$CONTAINER_ENGINE" push "$image:latest"
fi
