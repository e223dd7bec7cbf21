"""Methods that repair what a foundation model gives, without training it again."""
