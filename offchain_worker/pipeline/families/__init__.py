"""The zoo: every family that is known to convert, by name. See ADDING.md for how to add one."""

from offchain_worker.pipeline.families import decoders, encoders, multimodal, sound, vision
from offchain_worker.pipeline.families.base import Family

FAMILIES: dict[str, Family] = {
    family.name: family
    for group in (encoders, decoders, vision, sound, multimodal)
    for family in group.FAMILIES
}
