"""Entry point of ``passerelle``: finds the sub-commands of each package and loads them when they are asked for."""

import sys


def main() -> int:
    """Say what there is; the registry's, gateway's and country's commands come with their packages."""
    sys.stdout.write(
        "passerelle : les commandes arrivent avec leurs paquets ; rien à démarrer pour l'instant.\n"
        "passerelle: commands come with their packages; nothing to start yet.\n"
    )
    return 0
