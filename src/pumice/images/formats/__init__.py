"""What the file of an image really is, read before any other program opens it.

    reading.py     a file that may be hostile: bounded reads, the error that says why it is refused
    inspect.py     one table: disk format -> its reader; the virtual size, or the refusal
    qcow2.py vmdk.py vdi.py     one file a format, from its specification

Used by the image store, before an image is active. Nothing here writes, or calls anybody.
"""
