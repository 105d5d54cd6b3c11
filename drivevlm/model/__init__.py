"""Our own vision-language network: any cameras with their rays and ages, any language model.

It knows tokens, pixels and rays; it knows no road.
"""
