"""Foundation models: from a spec to an encoder on a device."""
