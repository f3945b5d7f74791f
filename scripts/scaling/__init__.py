"""Lookups among up to a million nodes whose tables exist only while somebody asks for them; see scripts/scale."""
