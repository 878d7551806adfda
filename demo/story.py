"""The story: five acts on a small farm, told by thirteen agents and their coordinator.

Within an act everybody acts at once; `Mark` and `After` order what has to come in order.
"""

from demo.steps import (
    Ack,
    Act,
    After,
    Answer,
    AskMerge,
    Check,
    Commit,
    Decide,
    Drop,
    Edit,
    Give,
    Letter,
    Mark,
    Outcome,
    Pause,
    PutAway,
    ReadAll,
    Restore,
    Save,
    Send,
    Step,
    Take,
)

VICTIM = "inventory"
HALF_WAY = "half way"
QUEUED = "field-ops asks"
TESTED_IN_THE_DARK = "grants"
DARK = "daemon dead"
IN_THE_DARK = ("mail in the dark", "file in the dark", "lease in the dark")

_MAIL = Act(
    "Mail",
    "by command and by hand: to one, to a group, to all, to whoever knows, and to nobody",
    {
        "pm-architect": (
            Send(
                "all",
                "Market day is Saturday",
                "Each of you: bring your part of the farm up to date, by branch and merge.",
                ("--ack", "wanted"),
            ),
        ),
        "backend": (
            Send(
                "ux-design",
                "Which fields has the order page?",
                "I am about to write orders.js.",
                ("--kind", "question"),
            ),
        ),
        "ux-design": (Answer("backend", "Name, amount and the day of pick-up."),),
        "security": (Send("@money", "No card numbers in files", "Not even in a comment.", ("--priority", "high")),),
        "grants": (
            Send("auto", "Thank the donors", "web_app/index.html should name the people who paid for the well."),
        ),
        "business": (
            Drop(
                "auto",
                "idea.md",
                "---\nfrom: business\nsubject: Seeds for our neighbours\n---\nHow much stock can we give?\n",
                "Seeds for our neighbours",
                ("inventory",),
            ),
        ),
        "field-ops": (
            Drop(
                "inventory",
                "beans.md",
                "Beans for bed 4 on Monday: 200 g, please.\n",
                "Beans for bed 4",
                ("inventory",),
            ),
        ),
        "inventory": (Letter("beans-for-bed-4"), Letter("seeds-for-our-neighbours"), PutAway()),
        "social-media": (
            Send("feild-ops", "A photo of bed 4?", "For the Saturday post.", nobody=True),
            Send("field-ops", "A photo of bed 4?", "For the Saturday post."),
        ),
        "mobile": (
            Drop(
                "all",
                "note.md",
                "---\nfrom: mobile\nto: ux-desing\nsubject: Same colours\n---\nMay I have your colours?\n",
                "note.md is undeliverable",
                (".dead", "mobile"),
            ),
            Letter("undeliverable"),
            PutAway(),
        ),
        "don-kb": (Letter("market-day"), Ack()),
        "accounting": (Letter("no-card-numbers"), ReadAll()),
    },
)

_LEASES = Act(
    "Leases",
    "one writes at a time: one is refused, one waits its turn, two would wait for each other, one forgets",
    {
        "sales-crm": (
            Take(("money/prices.csv",), "new prices"),
            Mark("prices held"),
            After("financial waits"),
            Pause(1.5),
            Give(),
        ),
        "financial": (
            After("prices held"),
            Take(("money/**",), held=True),
            Mark("financial waits"),
            Take(("money/**",), "the year's figures", wait="40s"),
            Give(),
        ),
        "accounting": (After("prices held"), Check("money/prices.csv")),
        "backend": (
            Take(("apps_script/orders.js",)),
            Mark("backend holds"),
            After("ux-design holds"),
            Take(("web_app/index.html",), wait="40s", else_give="apps_script/orders.js"),
            Give(),
        ),
        "ux-design": (
            Take(("web_app/index.html",)),
            Mark("ux-design holds"),
            After("backend holds"),
            Take(("apps_script/orders.js",), wait="40s", else_give="web_app/index.html"),
            Give(),
        ),
        "don-kb": (Take(("docs/**",), "looking something up", ttl="3s"), Mark("docs held")),
        "mobile": (After("docs held"), Take(("docs/market.md",), wait="40s"), Give()),
        "business": (Take(("fields/**",), "only a look", ttl="2s"), Letter("lease-gone")),
    },
)

_WORK = Act(
    "Work",
    "branches, one queue, and a test that every merge must pass",
    {
        "backend": (
            Take(("apps_script/orders.js",), "Saturday"),
            Edit("apps_script/orders.js", '"Wednesday", "Saturday"', '"Wednesday"'),
            Commit("Take orders for Saturday"),
            AskMerge("Orders for Saturday"),
            Give(),
        ),
        "ux-design": (
            Take(("web_app/index.html",), "Saturday"),
            Edit("web_app/index.html", "Open on Wednesday and Saturday", "Open on Wednesday"),
            Commit("Say that we open on Saturday"),
            AskMerge("The page says Saturday"),
            Give(),
        ),
        "sales-crm": (
            Take(("money/prices.csv",), "new prices"),
            Edit("money/prices.csv", "tomatoes,3.60", "tomatoes,3.20"),
            Commit("Tomatoes at 3.60"),
            AskMerge("New prices for Saturday"),
            Mark("prices landed"),
            Give(),
        ),
        "financial": (
            Edit("money/prices.csv", "tomatoes,2.90", "tomatoes,3.20"),
            Commit("Tomatoes at 2.90, without asking anybody"),
            After("prices landed"),
            AskMerge("Cheaper tomatoes", outcome="conflict"),
        ),
        "accounting": (
            Take(("money/costs.csv",), "the stall's rent"),
            Edit("money/costs.csv", "market stall,-45.00"),
            Commit("The stall's rent"),
            AskMerge("The stall's rent", outcome="failed"),
            Edit("money/costs.csv", "market stall,45.00", "market stall,-45.00"),
            Commit("The stall's rent", amend=True),
            AskMerge("The stall's rent, with its sign put right"),
            Give(),
        ),
        "don-kb": (
            Take(("docs/market.md",), "when the market is"),
            Edit("docs/market.md", "Saturday: from eight to noon."),
            Commit("When the market is"),
            AskMerge("When the market is"),
            Give(),
        ),
        "security": (
            Decide(
                "where the card reader's key lives",
                "in the owner's safe",
                "A file in a repository is read by everybody.",
            ),
        ),
    },
)

_DEATH = Act(
    "A death",
    "an agent is killed half way through its work, holding a lease; a new process goes on from its checkpoint",
    {
        VICTIM: (
            Take(("stock/**",), "counting seeds", ttl="5m", mine=True),
            Edit("stock/seeds.csv", "beans,700", "beans,900"),
            Commit("Count the beans"),
            Save("The beans are counted: 700 g.", ("count the carrots", "ask for the merge")),
            Edit("stock/seeds.csv", "carrots,2", "carrots,300"),
            Mark(HALF_WAY),
            After("never"),
        ),
        "field-ops": (
            After(HALF_WAY),
            Mark(QUEUED),
            Take(("stock/seeds.csv",), "how much is left for bed 4?", wait="40s"),
            Give(),
        ),
        "backend": (Save("orders.js takes Saturday; in main.", ("the pick-up day on the receipt",)),),
        "social-media": (Send("auto", "Did the price of honey change?", "money/prices.csv says 9.00."),),
    },
)

AGAIN: tuple[Step, ...] = (
    Restore(),
    Take(("stock/**",), "counting seeds", wait="40s", mine=True),
    Edit("stock/seeds.csv", "carrots,280", "carrots,2"),
    Commit("Count the carrots"),
    AskMerge("Seeds, counted"),
    Give(),
)

_DARK = Act(
    "The lights go out",
    "the daemon itself is killed in the middle of a test; work goes on, and nothing is lost",
    {
        TESTED_IN_THE_DARK: (
            Edit("money/grants.csv", "county,1200.00"),
            Commit("The county's grant"),
            AskMerge("The county's grant"),
        ),
        "pm-architect": (
            After(DARK),
            Send("@fields", "Carry on", "Nobody is watching, and it makes no difference."),
            Mark(IN_THE_DARK[0]),
        ),
        "business": (
            After(DARK),
            Drop(
                "field-ops",
                "dark.md",
                "---\nfrom: business\nsubject: Written in the dark\n---\nTo be found when somebody looks again.\n",
                "Written in the dark",
                ("field-ops",),
            ),
            Mark(IN_THE_DARK[1]),
        ),
        "mobile": (After(DARK), Take(("mobile_app/**",), "colours"), Give(), Mark(IN_THE_DARK[2])),
        "field-ops": (Letter("written-in-the-dark"),),
        "security": (Outcome("It was nowhere to be found in any commit."),),
    },
)

ACTS = (_MAIL, _LEASES, _WORK, _DEATH, _DARK)
