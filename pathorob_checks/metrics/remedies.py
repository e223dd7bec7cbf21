"""Advice that several metrics give."""

from __future__ import annotations

REPAIR_EMBEDDINGS = (
    "Repair the embeddings (--fm-method=combat,leace), read what each method changes, and check that the "
    "classes stay separable."
)
ADVERSARIAL_HEAD = (
    "A method for embeddings (--fm-method=combat,leace) or a domain-adversarial head (dann) may recover part "
    "of the loss; read what each method changes."
)
BALANCE = "Do not train on data in which class and center go together: balance the centers within each class."
OTHERWISE = "Otherwise use another FM."
