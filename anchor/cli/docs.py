import argparse
def add_to(parser): parser.set_defaults(run=lambda n: 0); parser.add_argument("--open", action="store_true"); parser.add_argument("page", nargs="?")
