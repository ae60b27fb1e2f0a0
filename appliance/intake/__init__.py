"""The one way in: verifies a carrier as a whole and stages what it accepted."""
