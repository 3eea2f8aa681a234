"""Builds, trains, evaluates and exports FaceNet embedders (Schroff, Kalenichenko, Philbin 2015)."""
