"""`python -m dhtshare`: the command line, for where the `dhtshare` program is not on the path."""

from dhtshare.cli.main import main

if __name__ == "__main__":
    main()
