"""``python -m drivable``."""

from drivable.cli.main import main

if __name__ == "__main__":
    main()
