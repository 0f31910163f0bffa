"""Runs the module wireguard_quick only where a glance at the interface finds something to do."""

from __future__ import annotations

import sys
from pathlib import Path

# Ansible offers module_utils/ to modules only; an action runs in the controller's own process.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
sys.path.append(str(Path(__file__).resolve().parents[1]))

from wg_migrate import quick_glance

from plugin_utils.glancing import GlancingAction


class ActionModule(GlancingAction):
    """Ask for the interface first."""

    question = staticmethod(quick_glance.question)
    result = staticmethod(quick_glance.result)
