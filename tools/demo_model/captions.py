"""What a drawing is called: templates, names, synonyms, and the tokenizer trained on all of it.

Each emoji has names of three kinds: its CLDR name and simpler forms of it ("fox face" is also "fox"), everyday names
(shortcodes, and `EVERYDAY` below), and CLDR keywords, which are loose and therefore rarer.
"""

import random
import re
from collections import Counter
from functools import cached_property

from sources import Emoji, plain

START, END = "<|startoftext|>", "<|endoftext|>"
DEFAULT = "This is a photo of {}."

TEMPLATES = """
a photo of {} | a photo of {}. | a photo of the {} | a picture of {} | an image of {} | an emoji of {} | {} emoji
a drawing of {} | a drawing of the {} | {} icon | an icon of {} | a pictogram of {} | a cartoon of {} | a cartoon {}
a sketch of {} | an illustration of {} | clip art of {} | a sticker of {} | a symbol of {} | a sign with {} | the {}
a close-up photo of {} | a good photo of {} | a bad photo of the {} | a cropped photo of {} | a bright photo of {}
a black and white photo of the {} | a rendering of {} | a painting of {} | art of {} | a small {} | a photo of one {}
itap of {}. | a photo of many {}. | a low resolution photo of the {}. | this is {} | this is a picture of {}.
This is an image of {}. | it is {} | there is {} in the picture | one {} | {}. | a logo of {} | a plastic {} | a toy {}
""".replace("\n", " | ").split(" | ")  # fmt: skip
TEMPLATES = [t.strip() for t in TEMPLATES if t.strip()]

# Everyday words where names, shortcodes and keywords lack them, or have them only among looser words.
EVERYDAY = {
    "😀": "smiling face, smiley, happy face, smile", "😃": "smiling face, happy face", "😄": "smiling face, laughing face",
    "😊": "smiling face, happy face", "☺️": "smiling face", "🙂": "smiling face, smiley", "😢": "crying face, sad face, tears",
    "😭": "crying face, sobbing face", "😂": "laughing face", "😡": "angry face, angry", "😠": "angry face, angry",
    "😱": "scared face, screaming face", "😴": "sleeping face, sleeping", "😍": "face in love", "😎": "cool face",
    "💀": "skull", "👻": "ghost", "🤖": "robot", "👽": "alien", "💩": "poop", "🎃": "pumpkin, halloween pumpkin",
    "❤️": "heart, red heart, love", "💙": "heart", "💚": "heart", "💛": "heart", "💜": "heart", "🧡": "heart", "💔": "broken heart",
    "👍": "thumbs up, like", "👎": "thumbs down, dislike", "👏": "applause", "✋": "hand", "👀": "eyes", "👄": "mouth, lips",
    "🐶": "dog, puppy", "🐕": "dog", "🐩": "poodle, dog", "🦮": "guide dog, dog", "🐱": "cat, kitten", "🐈": "cat", "🦁": "lion",
    "🐯": "tiger", "🐅": "tiger", "🐆": "leopard", "🐴": "horse", "🐎": "horse, race horse", "🦄": "unicorn", "🦓": "zebra",
    "🐮": "cow", "🐄": "cow", "🐂": "ox, bull", "🐃": "buffalo", "🐷": "pig", "🐖": "pig", "🐗": "wild boar, boar", "🐏": "ram",
    "🐑": "sheep, ewe", "🐐": "goat", "🐪": "camel", "🐫": "camel", "🦙": "llama, alpaca", "🦒": "giraffe", "🐘": "elephant",
    "🦏": "rhino, rhinoceros", "🦛": "hippo, hippopotamus", "🐭": "mouse", "🐁": "mouse", "🐀": "rat", "🐹": "hamster",
    "🐰": "rabbit, bunny", "🐇": "rabbit, bunny", "🐿️": "squirrel, chipmunk", "🦔": "hedgehog", "🦇": "bat", "🐻": "bear",
    "🐻‍❄️": "polar bear", "🐨": "koala", "🐼": "panda, panda bear", "🦥": "sloth", "🦦": "otter", "🦘": "kangaroo", "🦃": "turkey",
    "🐔": "chicken, hen", "🐓": "rooster, cock", "🐣": "chick", "🐤": "chick", "🐥": "chick", "🐦": "bird", "🐧": "penguin",
    "🕊️": "dove, pigeon", "🦅": "eagle", "🦆": "duck", "🦢": "swan", "🦉": "owl", "🦩": "flamingo", "🦚": "peacock", "🦜": "parrot",
    "🐸": "frog, toad", "🐊": "crocodile, alligator", "🐢": "turtle, tortoise", "🦎": "lizard", "🐍": "snake", "🐲": "dragon",
    "🐉": "dragon", "🦕": "dinosaur", "🦖": "dinosaur, t-rex", "🐳": "whale", "🐋": "whale", "🐬": "dolphin", "🦭": "seal",
    "🐟": "fish", "🐠": "fish, tropical fish", "🐡": "puffer fish, blowfish", "🦈": "shark", "🐙": "octopus", "🐚": "shell, seashell",
    "🐌": "snail", "🦋": "butterfly", "🐛": "caterpillar", "🐜": "ant", "🐝": "bee, honeybee", "🐞": "ladybug, ladybird, beetle",
    "🦗": "cricket, grasshopper", "🕷️": "spider", "🕸️": "spider web, cobweb", "🦂": "scorpion", "🦟": "mosquito", "🐒": "monkey",
    "🐵": "monkey", "🦍": "gorilla", "🦧": "orangutan", "🐺": "wolf", "🦊": "fox", "🦝": "raccoon", "🦀": "crab", "🦞": "lobster",
    "🌹": "rose, red rose, flower", "🌷": "tulip, flower", "🌻": "sunflower, flower", "🌼": "daisy, flower", "🌸": "cherry blossom, flower",
    "💐": "bouquet, flowers", "🌺": "hibiscus, flower", "🌳": "tree", "🌲": "pine tree, fir tree, tree", "🌴": "palm tree",
    "🌵": "cactus", "🍀": "four leaf clover, clover, lucky clover", "☘️": "shamrock, clover", "🍁": "maple leaf, leaf",
    "🍂": "fallen leaves, autumn leaves", "🍃": "leaves", "🍄": "mushroom, toadstool", "🌱": "seedling, sprout", "🌾": "wheat, grain",
    "🍎": "apple, red apple", "🍏": "apple, green apple", "🍐": "pear", "🍊": "orange, tangerine, mandarin", "🍋": "lemon",
    "🍌": "banana", "🍉": "watermelon, melon", "🍇": "grapes, grape", "🍓": "strawberry", "🫐": "blueberries, blueberry",
    "🍈": "melon", "🍒": "cherries, cherry", "🍑": "peach", "🥭": "mango", "🍍": "pineapple", "🥥": "coconut", "🥝": "kiwi",
    "🍅": "tomato", "🍆": "eggplant, aubergine", "🥑": "avocado", "🥦": "broccoli", "🥬": "lettuce, cabbage", "🥒": "cucumber",
    "🌶️": "chili pepper, hot pepper", "🫑": "bell pepper, paprika", "🌽": "corn, ear of corn, maize", "🥕": "carrot",
    "🧄": "garlic", "🧅": "onion", "🥔": "potato", "🍞": "bread, loaf of bread", "🥐": "croissant", "🥖": "baguette", "🥨": "pretzel",
    "🧀": "cheese", "🥚": "egg", "🍳": "fried egg", "🥞": "pancakes", "🧇": "waffle", "🥓": "bacon", "🥩": "steak, meat",
    "🍗": "chicken leg, drumstick", "🍖": "meat", "🌭": "hot dog, sausage", "🍔": "hamburger, burger, cheeseburger",
    "🍟": "french fries, fries, chips", "🍕": "pizza, slice of pizza", "🥪": "sandwich", "🌮": "taco", "🌯": "burrito",
    "🥗": "salad", "🍝": "spaghetti, pasta", "🍜": "noodles, ramen, noodle soup", "🍲": "stew", "🍛": "curry", "🍣": "sushi",
    "🍤": "fried shrimp, shrimp", "🍚": "rice, bowl of rice", "🍦": "ice cream, ice cream cone", "🍨": "ice cream",
    "🍧": "shaved ice", "🥧": "pie", "🧁": "cupcake, muffin", "🍰": "cake, slice of cake", "🎂": "birthday cake, cake",
    "🍮": "pudding", "🍭": "lollipop", "🍬": "candy, sweets", "🍫": "chocolate, chocolate bar", "🍿": "popcorn",
    "🍩": "donut, doughnut", "🍪": "cookie, biscuit", "🍯": "honey, honey pot", "🥛": "milk, glass of milk", "🍼": "baby bottle",
    "☕": "coffee, cup of coffee, coffee cup, tea", "🍵": "tea, cup of tea, green tea", "🍺": "beer, beer mug, mug of beer",
    "🍻": "beers, beer mugs", "🍷": "wine, wine glass, glass of wine, red wine", "🥂": "champagne glasses", "🍸": "cocktail, martini",
    "🍹": "cocktail, tropical drink", "🥤": "drink, soft drink, cup with straw", "🍾": "champagne, bottle of champagne",
    "🍴": "fork and knife", "🥄": "spoon", "🔪": "knife, kitchen knife", "🏠": "house, home", "🏡": "house, house with garden",
    "🏢": "office building", "🏥": "hospital", "🏦": "bank", "🏫": "school", "🏭": "factory", "🏰": "castle", "🏯": "japanese castle",
    "⛪": "church, chapel", "🕌": "mosque", "⛺": "tent, camping", "🏔️": "mountain, snowy mountain", "⛰️": "mountain",
    "🗻": "mountain, mount fuji", "🌋": "volcano", "🏝️": "island, desert island", "🏖️": "beach", "🌉": "bridge", "🗼": "tower, tokyo tower",
    "🗽": "statue of liberty", "⛲": "fountain", "🎡": "ferris wheel", "🎢": "roller coaster", "🎪": "circus, circus tent",
    "🚗": "car, red car, automobile", "🚙": "car, suv", "🚘": "car", "🚕": "taxi, cab", "🚓": "police car", "🚌": "bus", "🚎": "trolleybus, bus",
    "🚑": "ambulance", "🚒": "fire engine, fire truck", "🚚": "truck, lorry", "🚛": "truck, lorry", "🚜": "tractor",
    "🏎️": "racing car, race car", "🏍️": "motorcycle, motorbike", "🛵": "scooter, moped", "🚲": "bicycle, bike", "🚂": "steam train, locomotive, train",
    "🚆": "train", "🚄": "fast train, train", "🚅": "bullet train, train", "🚇": "subway, metro", "🚊": "tram", "🚉": "train station",
    "🚁": "helicopter", "✈️": "airplane, plane, aeroplane", "🚀": "rocket, space rocket", "🛸": "ufo, flying saucer",
    "⛵": "sailboat, sailing boat, boat", "🚢": "ship", "🚤": "speedboat, boat", "⚓": "anchor", "🚦": "traffic light",
    "🚥": "traffic light", "🛑": "stop sign", "⛽": "gas pump, petrol pump", "☀️": "sun, sunny weather", "🌞": "sun, sun with face",
    "🌙": "moon, crescent moon, crescent", "🌛": "moon", "🌜": "moon", "🌝": "full moon, moon", "🌕": "full moon, moon",
    "⭐": "star, yellow star", "🌟": "star, shining star", "☁️": "cloud, cloudy weather", "⛅": "sun behind cloud, partly cloudy",
    "🌧️": "rain, rain cloud, rainy weather", "⛈️": "thunderstorm", "🌩️": "lightning cloud, storm", "🌨️": "snow, snow cloud",
    "⚡": "lightning, lightning bolt, thunderbolt", "❄️": "snowflake, snow", "☃️": "snowman", "⛄": "snowman", "🌈": "rainbow",
    "🔥": "fire, flame", "💧": "drop, water drop", "🌊": "wave, sea", "☂️": "umbrella", "☔": "umbrella, rain", "🌂": "closed umbrella, umbrella",
    "🌪️": "tornado", "🌍": "earth, globe, world", "🌎": "earth, globe, world", "🌏": "earth, globe, world", "🪐": "planet, saturn",
    "⚽": "soccer ball, football, soccer", "🏀": "basketball", "🏈": "american football", "⚾": "baseball",
    "🎾": "tennis ball, tennis, tennis racket", "🏐": "volleyball", "🏉": "rugby ball", "🎱": "billiards, pool ball",
    "🏓": "table tennis, ping pong", "🏸": "badminton", "🥊": "boxing glove", "🎯": "dart board, target", "⛳": "golf",
    "🎣": "fishing rod, fishing", "🎳": "bowling", "🎮": "video game, game controller, gamepad", "🎲": "dice, die", "🧩": "puzzle, jigsaw",
    "🧸": "teddy bear, toy bear", "🎨": "paint palette, painting", "🏆": "trophy, cup", "🥇": "gold medal, medal", "🎁": "gift, present",
    "🎈": "balloon", "🎄": "christmas tree", "🎸": "guitar, electric guitar", "🎹": "piano, keyboard, piano keys", "🎻": "violin",
    "🎺": "trumpet", "🎷": "saxophone", "🥁": "drum, drums, snare drum", "🎤": "microphone", "🎧": "headphones", "🎵": "music, music note",
    "📱": "mobile phone, cell phone, smartphone", "☎️": "telephone, phone", "📞": "telephone receiver", "💻": "laptop, computer",
    "🖥️": "desktop computer, computer", "🖨️": "printer", "⌨️": "keyboard, computer keyboard", "🖱️": "computer mouse",
    "📷": "camera, photo camera", "📸": "camera, camera with flash", "🎥": "movie camera", "📺": "television, tv",
    "📻": "radio", "⏰": "alarm clock, clock", "🕰️": "clock, mantel clock", "⌚": "watch, wrist watch", "⌛": "hourglass",
    "💡": "light bulb, lightbulb, lamp", "🔦": "flashlight, torch", "🕯️": "candle", "📖": "book, open book", "📕": "book, closed book",
    "📗": "book", "📘": "book", "📚": "books", "📰": "newspaper", "✏️": "pencil", "🖊️": "pen", "🖌️": "paintbrush", "✂️": "scissors",
    "📎": "paper clip", "📌": "pushpin", "📏": "ruler", "🔨": "hammer", "🪓": "axe, hatchet", "🔧": "wrench, spanner",
    "🪛": "screwdriver", "🪚": "saw", "🔩": "nut and bolt, screw", "⚙️": "gear, cog", "🔑": "key", "🔒": "lock, padlock",
    "🗝️": "key, old key", "🧲": "magnet", "🪜": "ladder", "🔬": "microscope", "🔭": "telescope", "💊": "pill", "💉": "syringe",
    "🚪": "door", "🪑": "chair", "🛋️": "sofa, couch", "🛏️": "bed", "🚽": "toilet", "🛁": "bathtub", "🧹": "broom", "🧼": "soap",
    "🛒": "shopping cart", "💰": "money bag, money", "💎": "diamond, gem", "👑": "crown", "👓": "glasses", "🕶️": "sunglasses",
    "👔": "tie, necktie", "👕": "t-shirt, shirt", "👖": "jeans, trousers, pants", "👗": "dress", "🧥": "coat, jacket", "🧦": "socks",
    "👟": "running shoe, sneaker, shoe", "👞": "shoe", "👠": "high heels", "👢": "boot", "🎩": "top hat, hat", "🧢": "cap, baseball cap",
    "👜": "handbag", "🎒": "backpack, school bag", "💼": "briefcase", "☎": "telephone", "✉️": "envelope, letter", "📦": "package, box, parcel",
    "🗑️": "trash can, wastebasket", "🔔": "bell", "💣": "bomb", "⚔️": "swords", "🛡️": "shield", "🏹": "bow and arrow",
    "♻️": "recycling symbol", "✅": "check mark", "✔️": "check mark, tick", "❌": "cross mark, cross", "❓": "question mark",
    "❗": "exclamation mark", "⚠️": "warning sign", "☠️": "skull and crossbones", "🏁": "chequered flag", "♟️": "chess pawn",
}  # fmt: skip
EVERYDAY = {plain(emoji): names.split(", ") for emoji, names in EVERYDAY.items()}

CUT = re.compile(r"^(red|ripe|black|white) (?=apple|heart|nib)| (face|button|sign|symbol|emoji)$")


def simpler(name: str) -> list[str]:
    """A CLDR name and what is left of it without words that say little."""
    name = re.sub(r"[“”’!]", lambda m: "'" if m[0] == "’" else "", name.lower()).replace(":", "")
    name = re.sub(r"^flag (.*)", r"flag of \1", name) if name.startswith("flag ") else name
    short = CUT.sub("", name)
    return [name] if short in (name, "") else [name, short]


class Names:
    """The names of all emoji, and which captions are true of which emoji."""

    def __init__(self, emoji: list[Emoji]) -> None:
        self.emoji = emoji
        self.index = {plain(e.text): i for i, e in enumerate(emoji)}
        self.primary = [simpler(e.name) for e in emoji]
        known = [set(p) for p in self.primary]
        self.everyday = []
        for e, names in zip(emoji, known):
            extra = EVERYDAY.get(plain(e.text), []) * 2 + [s for s in e.shortcodes if s not in names]
            self.everyday.append([n.lower() for n in extra if re.fullmatch(r"[a-z0-9 '’.-]{3,}", n.lower())])
        uses = Counter(k.lower() for e in emoji for k in e.keywords)
        self.keywords = [[k.lower() for k in e.keywords if uses[k.lower()] <= 10 and len(k) > 2] for e in emoji]
        self.keyword_weights = [[1 / uses[k] for k in ks] for ks in self.keywords]

    @cached_property
    def labels(self) -> dict[str, int]:
        """Every name there is, numbered."""
        every = [n for group in zip(self.primary, self.everyday, self.keywords) for names in group for n in names]
        return {n: i for i, n in enumerate(dict.fromkeys(every))}

    def true_labels(self) -> list[list[int]]:
        """For each emoji, the numbers of all labels that are true of it, whatever kind of name they are."""
        rows = []
        for i, e in enumerate(self.emoji):
            names = {*self.primary[i], *self.everyday[i], *(k.lower() for k in e.keywords)}
            rows.append([self.labels[n] for n in names if n in self.labels])
        return rows

    def pick(self, i: int, rng: random.Random) -> str:
        """A name of emoji `i`: mostly its own or an everyday one, sometimes a keyword."""
        roll = rng.random()
        if self.keywords[i] and roll < 0.12:
            return rng.choices(self.keywords[i], self.keyword_weights[i])[0]
        if self.everyday[i] and roll < 0.55:
            return rng.choice(self.everyday[i])
        return rng.choice(self.primary[i])


def with_article(name: str, rng: random.Random) -> str:
    """The name, half of the time with an article."""
    if rng.random() < 0.5:
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(name: str, rng: random.Random) -> str:
    """A name in a template: a fifth in the default one, a fifth bare."""
    roll = rng.random()
    if roll < 0.2:
        return DEFAULT.format(name)
    if roll < 0.4:
        return with_article(name, rng)
    template = rng.choice(TEMPLATES)
    bare = re.search(r"\b(a|the|one|many|small|plastic|toy|cartoon) \{\}", template)
    return template.format(name if bare else with_article(name, rng))


def corpus(names: Names, templates: int = 6) -> list[str]:
    """The words that the tokenizer learns from: every template once, and every name several times."""
    lines = TEMPLATES * 40 + [DEFAULT] * 400
    for i in range(len(names.emoji)):
        lines += (names.primary[i] + names.everyday[i]) * templates + names.keywords[i]
    return " ".join(lines).replace("{}", "").lower().split()


def byte_symbols() -> list[str]:
    """The printable stand-in of each byte in byte-level BPE, in the order of CLIP's vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def train_merges(words: list[str], count: int) -> list[tuple[str, str]]:
    """The `count` first merges of plain BPE over `words`: the most frequent pair, ties by spelling."""
    split = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+")
    order = [*range(33, 127), *range(161, 173), *range(174, 256)]
    order += [b for b in range(256) if b not in order]
    symbol = dict(zip(order, byte_symbols()))
    spelled = []
    for piece, times in Counter(p for word in words for p in split.findall(word)).items():
        symbols = [symbol[b] for b in piece.encode()]
        spelled.append(([*symbols[:-1], symbols[-1] + "</w>"], times))
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter = Counter()
        for symbols, times in spelled:
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        joined = best[0] + best[1]
        for symbols, _ in spelled:
            i = 0
            while i + 1 < len(symbols):
                if symbols[i] == best[0] and symbols[i + 1] == best[1]:
                    symbols[i : i + 2] = [joined]
                i += 1
    return merges


def added(content: str, number: int, normalized: bool) -> dict:
    """A special token as tokenizer.json has it."""
    rest = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": normalized, "special": True}
    return {"id": number, "content": content, **rest}


def tokenizer_json(merges: list[tuple[str, str]]) -> dict:
    """A tokenizer.json with CLIP's pipeline and this vocabulary."""
    base = byte_symbols()
    tokens = [*base, *(t + "</w>" for t in base), *("".join(pair) for pair in merges), START, END]
    vocab = {token: i for i, token in enumerate(tokens)}
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": True}
    spaces = {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(START, vocab[START], True), added(END, vocab[END], False)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, spaces, {"type": "Lowercase"}]},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [END, vocab[END]],
            "cls": [START, vocab[START]],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "vocab": vocab,
            "merges": [" ".join(pair) for pair in merges],
        },
    }
