"""A run without pytest: plan, fix the terms, measure, judge, and return `Results`."""
