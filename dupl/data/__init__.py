"""Data sets; importing this package registers them by name."""

from dupl.data.base import ImageSet
from dupl.data.coco import COCO
from dupl.data.part import Part
from dupl.data.tagged_folder import TaggedFolder
from dupl.data.toy import Toy
from dupl.data.voc import VOC

__all__ = ["COCO", "VOC", "ImageSet", "Part", "TaggedFolder", "Toy"]
