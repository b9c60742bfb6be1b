"""What Clowder tells a deployment."""

CDAPPCONFIG = {
    "webPort": 8000,
    "metricsPort": 9000,
    "metricsPath": "/metrics",
    "database": {
        "name": "cloudigrade",
        "hostname": "db1",
        "port": 5432,
        "username": "user",
        "password": "pw",
        "sslMode": "verify-full",
        "rdsCa": "DATABASE CA",
    },
    "inMemoryDb": {"hostname": "r", "port": 6380, "username": "u", "password": "p"},
    "kafka": {
        "brokers": [
            {
                "hostname": "k1",
                "port": 9093,
                "cacert": "KAFKA CA",
                "sasl": {
                    "username": "u",
                    "password": "p",
                    "saslMechanism": "SCRAM-SHA-512",
                    "securityProtocol": "SASL_SSL",
                },
            },
            {"hostname": "k2", "port": 9093},
        ],
        "topics": [
            {"requestedName": "platform.sources.event-stream", "name": "x.event"},
            {"requestedName": "platform.sources.status", "name": "x.status"},
        ],
    },
    "endpoints": [{"app": "sources-api", "name": "svc", "hostname": "s", "port": 8000}],
    "logging": {
        "type": "cloudwatch",
        "cloudwatch": {
            "accessKeyId": "key",
            "secretAccessKey": "secret",
            "region": "eu-west-1",
            "logGroup": "group",
        },
    },
}
