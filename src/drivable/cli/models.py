"""``drivable models``: what can be trained, and what it costs."""

from __future__ import annotations

from drivable.cli.tables import JsonOption, print_table
from drivable.weights import shipped_models

SIZE = (360, 640)


def models(json: JsonOption = None) -> None:
    """List the models with parameters, weight size and multiply-accumulates for a 360x640 picture; then the trained
    ones that come with the package."""
    from drivable.files import write_json
    from drivable.models import MODELS, default_spec
    from drivable.models.cost import model_cost

    costs = {name: model_cost(default_spec(name), SIZE) for name in MODELS}
    print_table(
        ["model", "parameters (M)", "weights (MiB)", "GMACs at 360x640"],
        [
            [name, f"{c.num_parameters / 1e6:.2f}", f"{c.weights_mib:.1f}", f"{c.gmacs:.1f}"]
            for name, c in costs.items()
        ],
    )
    shipped = {name: path.stat().st_size / 2**20 for name, path in shipped_models().items()}
    print_table(["shipped, trained", "file (MiB)"], [[name, f"{mib:.1f}"] for name, mib in shipped.items()])
    if json is not None:
        write_json(
            json,
            {
                "models": [
                    {
                        "name": name,
                        "parameters": c.num_parameters,
                        "weights_mib": c.weights_mib,
                        "gmacs": c.gmacs,
                    }
                    for name, c in costs.items()
                ],
                "shipped": [{"name": name, "file_mib": mib} for name, mib in shipped.items()],
            },
        )
