"""The name that stands where no method repairs anything."""

NO_METHOD = "none"
