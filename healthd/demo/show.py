"""placeholder"""


def main(*, keep: bool) -> int:
    """X"""
    return 0
