"""What manifests and JSON lines hold, one frozen dataclass a kind: written in one room, read in another.

A reader says ``read_facts(folder, CodesFacts).codebook_size``. A key that is missing or of another type is refused by
name. A key that the class does not know is passed over, and stays in the file: so an older version reads what a newer
one made, and a reader may ask for a few facts by a class of their own. A field with a default is left out of the JSON
while it has that value.
"""
