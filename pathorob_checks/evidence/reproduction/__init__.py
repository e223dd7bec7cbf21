"""An archived run made again, its values compared with the archived ones, and the folder that this leaves."""
