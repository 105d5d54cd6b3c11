"""Every planning protocol by name."""

from __future__ import annotations

from drivevlm.metrics.admlp import ADMLP
from drivevlm.metrics.bevplanner import BEVPLANNER
from drivevlm.metrics.exact import EXACT
from drivevlm.metrics.lightemma import LIGHTEMMA
from drivevlm.metrics.omnidrive import OMNIDRIVE
from drivevlm.metrics.planning import PlanningProtocol
from drivevlm.metrics.sparsedrive import SPARSEDRIVE
from drivevlm.metrics.stp3 import STP3
from drivevlm.metrics.uniad import UNIAD, UNIAD_STP3
from drivevlm.metrics.uniad_v2 import UNIAD_V2
from drivevlm.metrics.vad import VAD

PROTOCOLS: dict[str, PlanningProtocol] = {
    rule.name: PlanningProtocol(rule)
    for rule in (
        EXACT,
        UNIAD,
        UNIAD_STP3,
        UNIAD_V2,
        VAD,
        STP3,
        ADMLP,
        SPARSEDRIVE,
        BEVPLANNER,
        OMNIDRIVE,
        LIGHTEMMA,
    )
}
