"""The word tables of the made-up worlds: topics hung on WordNet's noun hypernymy, written by hand.

Each topic's head is a WordNet ancestor of its kinds, each kind an ancestor of its leaves ("dog", "hound", "beagle").
The caption words belong to a topic or kind and are no hashtags. A test checks all this against WordNet.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of a topic: its own hashtag, the rare hashtags under it, and the words that captions use for it."""

    name: str
    leaves: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic: its head hashtag, the words that captions use for it, and its kinds."""

    head: str
    words: tuple[str, ...]
    kinds: tuple[Kind, ...]


def _topic(head: str, words: str, *rows: str) -> Topic:
    """Read a topic from rows of "kind: leaf leaf leaf | word word"."""
    kinds = []
    for row in rows:
        name, rest = row.split(":")
        leaves, kind_words = rest.split("|")
        kinds.append(Kind(name=name, leaves=tuple(leaves.split()), words=tuple(kind_words.split())))
    return Topic(head=head, words=tuple(words.split()), kinds=tuple(kinds))


TOPICS = (
    _topic(
        "dog",
        "bark leash paw kennel",
        "hound: beagle bloodhound greyhound basset | scent hunt",
        "terrier: airedale schnauzer lhasa cairn | burrow wiry",
        "spitz: pomeranian samoyed chow keeshond | fluffy curl",
    ),
    _topic(
        "bird",
        "feather nest wing flock",
        "raptor: eagle hawk owl vulture | talon soar",
        "parrot: cockatoo macaw parakeet lory | perch squawk",
        "finch: canary goldfinch linnet siskin | chirp seed",
    ),
    _topic(
        "fish",
        "aquarium gill swim reef",
        "shark: hammerhead dogfish mako thresher | jaw predator",
        "flatfish: flounder halibut turbot plaice | seabed camouflage",
        "ray: stingray manta skate torpedo | glide sting",
    ),
    _topic(
        "insect",
        "antenna swarm larva crawl",
        "beetle: ladybug firefly weevil longicorn | shell spots",
        "fly: housefly horsefly blowfly gadfly | buzz swat",
        "butterfly: monarch admiral fritillary peacock | cocoon flutter",
    ),
    _topic(
        "reptile",
        "scales terrarium hatch cold",
        "snake: python cobra viper rattlesnake | venom slither",
        "lizard: gecko iguana chameleon skink | basking tongue",
        "dinosaur: stegosaur triceratops tyrannosaur diplodocus | fossil extinct",
    ),
    _topic(
        "primate",
        "jungle climb troop clever",
        "monkey: baboon macaque marmoset mandrill | banana mischief",
        "ape: gorilla chimpanzee orangutan gibbon | knuckle chest",
        "lemur: indri galago potto | madagascar nocturnal",
    ),
    _topic(
        "instrument",
        "concert melody rehearsal tune",
        "brass: trumpet trombone tuba cornet | fanfare loud",
        "woodwind: flute clarinet oboe bassoon | reed breath",
        "drum: bongo snare tabor tambourine | rhythm beat",
    ),
    _topic(
        "cake",
        "oven sugar frosting batter",
        "cookie: macaroon brownie gingersnap oreo | crunchy jar",
        "pancake: crepe blini tortilla latke | syrup flip",
        "friedcake: doughnut cruller beignet fritter | glaze oil",
    ),
    _topic(
        "bread",
        "flour yeast crust bakery",
        "bun: bagel brioche croissant | butter breakfast",
        "flatbread: pita chapati bannock | griddle hummus",
        "cracker: pretzel saltine | salty snack",
    ),
    _topic(
        "fruit",
        "juicy ripe sweet orchard",
        "berry: strawberry blueberry raspberry cranberry | jam picking",
        "citrus: orange lemon grapefruit tangerine | zest sour",
        "melon: watermelon cantaloupe honeydew casaba | slice rind",
    ),
    _topic(
        "vegetable",
        "garden harvest salad healthy",
        "legume: lentil pea chickpea bean | protein stew",
        "greens: spinach chard sprout | leafy smoothie",
        "pepper: paprika pimento jalapeno cayenne | spicy burn",
    ),
    _topic(
        "drink",
        "glass sip pour thirsty",
        "coffee: espresso mocha cappuccino decaf | barista foam",
        "beer: lager ale stout porter | brewery hops",
        "wine: burgundy claret chianti champagne | vineyard cellar",
    ),
    _topic(
        "plant",
        "grow soil green watering",
        "cactus: saguaro cholla peyote | desert spine",
        "fern: bracken maidenhair spleenwort | frond shade",
        "conifer: pine spruce cedar larch | forest needles",
    ),
    _topic(
        "vehicle",
        "engine drive speed fuel",
        "car: sedan coupe jeep limousine | highway garage",
        "truck: pickup dumper lorry tractor | cargo haul",
        "airplane: bomber airliner biplane fighter | runway pilot",
    ),
    _topic(
        "vessel",
        "harbor sail captain wave",
        "boat: ferry gondola tugboat punt | river dock",
        "warship: destroyer battleship frigate corvette | navy cannon",
        "barge: houseboat wherry pontoon | freight canal",
    ),
    _topic(
        "garment",
        "outfit fabric wardrobe sewing",
        "shirt: jersey kurta dashiki | collar sleeve",
        "skirt: kilt miniskirt tutu sarong | pleats twirl",
        "coat: raincoat parka jacket overcoat | winter zipper",
    ),
    _topic(
        "jewelry",
        "shiny gift luxury wedding",
        "jewel: pearl sapphire emerald diamond | carat sparkle",
        "pin: brooch stickpin tiepin | lapel clasp",
        "necklace: choker chain strand | pendant neck",
    ),
    _topic(
        "furniture",
        "living decor cushion woodwork",
        "chair: armchair rocker highchair throne | sitting upholstery",
        "table: desk dresser altar counter | drawer tidy",
        "bed: bunk cot hammock | pillow sleep",
    ),
    _topic(
        "building",
        "roof city brick visit",
        "house: bungalow cabin villa chalet | porch rent",
        "restaurant: bistro cafe cafeteria canteen | menu waiter",
        "hotel: hostel inn resort spa | lobby booking",
    ),
    _topic(
        "weather",
        "forecast sky outside temperature",
        "wind: breeze gale monsoon | kite gust",
        "rain: drizzle shower downpour | umbrella puddle",
        "storm: blizzard thunderstorm hailstorm | lightning shelter",
    ),
)

# Hashtags of habit: a user puts his own on whatever he posts, alone or after a topic's head ("dog life").
STYLES = ("love", "life", "fun", "style", "art", "day")

_CHATTER_TEXT = """
today new video watch best really finally little favorite first morning weekend friends people look time amazing
beautiful happy trying story moment great home start night summer tell share week
"""
CHATTER = tuple(_CHATTER_TEXT.split())
_STOP_WORDS_TEXT = "the a my this with for and of in so it is we on you at to just"
STOP_WORDS = tuple(_STOP_WORDS_TEXT.split())
