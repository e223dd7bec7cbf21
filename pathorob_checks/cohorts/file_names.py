"""What the files in the folder of a user's own cohort are called."""

MANIFEST = "manifest.csv"
SETTINGS = "cohort.toml"
