"""Vision, inference and identity composed: one image, one enrolment, one camera session."""
