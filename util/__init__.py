"""What would serve any Django service on this platform.

Knows nothing of clouds, images or usage.
"""
