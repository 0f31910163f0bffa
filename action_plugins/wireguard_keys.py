"""Runs the module wireguard_keys only where a glance at the keys finds something to do."""

from __future__ import annotations

import sys
from pathlib import Path

# Ansible offers module_utils/ to modules only; an action runs in the controller's own process.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
sys.path.append(str(Path(__file__).resolve().parents[1]))

from wg_migrate import glance

from plugin_utils.glancing import GlancingAction


class ActionModule(GlancingAction):
    """Ask for the keys first."""

    question = staticmethod(glance.keys_question)
    result = staticmethod(glance.keys_result)
