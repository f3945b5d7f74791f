"""What a file is: chunks, hashes, descriptors, links, safe paths, keywords. Never opens a socket."""
