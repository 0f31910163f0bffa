"""What the checks of the tree share: where it is, and Ansible's view of module_utils/."""

from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[2]

# A module imports ansible.module_utils.wg_migrate, which Ansible puts together only on its way to a host.
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
