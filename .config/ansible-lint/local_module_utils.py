"""No rule: ansible-lint imports the files of its rulesdir, and this one shows it the project's module_utils/.

The rule `args` imports each module to read its argument spec. Ansible adds module_utils/ only to what it ships to a
host, so that here the import would fail and the rule would pass the task unread.
"""

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).parents[2] / "module_utils"))
