"""The five tasks: where things are when they begin, and which script solves them.

Source: MetaWorld 3.0, `metaworld/envs/`: facts of its environments `<task>-v3`.
"""

from dataclasses import dataclass

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Task:
    """One thing to do. Positions are in metres.

    Attributes:
        name: Such as "drawer_open"; the package's is "drawer-open-v3".
        label: In words.
        model: The package's file, below its folder `assets/sawyer_xyz`.
        script: The package's policy that solves it.
        hand: Where the hand begins.
        thing: Body that is put in different places: a free one, or a part of the scene.
        usual: Where the thing is put usually.
        low: The least of where it may be put instead.
        high: The most.
        fixed: Whether the thing is a part of the scene.
        hand_low: The lowest point to which the hand can be sent.
    """

    name: str
    label: str
    model: str
    script: str
    hand: Point
    thing: str
    usual: Point
    low: Point
    high: Point
    fixed: bool
    hand_low: Point = (-0.5, 0.4, 0.05)

    @property
    def package_name(self) -> str:
        """The name of the package's environment."""
        return f"{self.name.replace('_', '-')}-v3"


TASKS: dict[str, Task] = {
    task.name: task
    for task in [
        Task(
            "assembly",
            "put a ring on a peg",
            model="sawyer_assembly_peg.xml",
            script="SawyerAssemblyV3Policy",
            hand=(0, 0.6, 0.2),
            thing="peg",
            usual=(0.1, 0.8, 0.05),
            low=(-0.1, 0.75, 0.05),
            high=(0.1, 0.85, 0.05),
            fixed=True,
        ),
        Task(
            "bin_picking",
            "move a cube from bin to bin",
            model="sawyer_bin_picking.xml",
            script="SawyerBinPickingV3Policy",
            hand=(0, 0.6, 0.2),
            thing="obj",
            usual=(-0.12, 0.7, 0.03),
            low=(-0.21, 0.65, 0.03),
            high=(-0.03, 0.75, 0.03),
            fixed=False,
            hand_low=(-0.5, 0.4, 0.07),
        ),
        Task(
            "button_press_topdown",
            "press a button from above",
            model="sawyer_button_press_topdown.xml",
            script="SawyerButtonPressTopdownV3Policy",
            hand=(0, 0.4, 0.2),
            thing="box",
            usual=(0, 0.8, 0.115),
            low=(-0.1, 0.8, 0.115),
            high=(0.1, 0.9, 0.115),
            fixed=True,
        ),
        Task(
            "drawer_open",
            "open a drawer",
            model="sawyer_drawer.xml",
            script="SawyerDrawerOpenV3Policy",
            hand=(0, 0.6, 0.2),
            thing="drawer",
            usual=(0, 0.9, 0),
            low=(-0.1, 0.9, 0),
            high=(0.1, 0.9, 0),
            fixed=True,
        ),
        Task(
            "hammer",
            "hammer a nail into a block",
            model="sawyer_hammer.xml",
            script="SawyerHammerV3Policy",
            hand=(0, 0.4, 0.2),
            thing="hammerbody",
            usual=(0, 0.5, 0),
            low=(-0.1, 0.4, 0),
            high=(0.1, 0.5, 0),
            fixed=False,
        ),
    ]
}
