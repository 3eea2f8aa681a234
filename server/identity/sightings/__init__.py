"""Who was seen where: sightings, groups of unknown faces, and what admins say of them."""
