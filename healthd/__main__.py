"""``python -m healthd`` is the ``healthd`` command."""

from healthd.cli import main

if __name__ == "__main__":
    main()
