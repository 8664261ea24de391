"""A small store of invented customer notes, to try `unmask audit` on.

    python benchmarks/customer_notes.py FOLDER [--count 1200] [--seed 0]

Writes a LanceDB table `notes` (id, text, vector) into FOLDER with the bundled encoder; needs unmask[lancedb]. Nobody in
it exists: names are drawn from a list, addresses end in example.com, phone numbers are from ranges kept for fiction.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from unmask.audit.checksums import is_card
from unmask.encoders import load_encoder
from unmask.recipe import EncoderSection

FIRST = ("Anna", "Omar", "Lucy", "David", "Maria", "Peter", "Sarah", "James", "Helen", "Paul", "Nina", "Robert")
LAST = ("Baker", "Cooper", "Fisher", "Hunter", "Mason", "Parker", "Taylor", "Walker", "Young", "King", "Stone", "Reed")
CITIES = ("Leeds", "Boston", "Dublin", "Chicago", "Oxford", "Sydney", "Toronto", "Bristol")
ILLNESSES = ("asthma", "diabetes", "cancer", "arthritis", "migraine", "pneumonia")
WORDS = ("summer", "dragon", "orange", "castle")
NOTES = (
    "Mr. {last} asked us to call him back on {phone}.",
    "Mrs. {last} moved to {city} and wants her bill sent there.",
    "Please write to {first} at {mail} about the refund.",
    "{first} {last} was born on {date} and has {illness}.",
    "The card {card} of Mr. {last} was declined twice.",
    "Dr. {last} treats the customer for {illness} in {city}.",
    "The customer in {city} complained that the parcel came late.",
    "Password: {word}{number} was read out over the phone.",
    "{first} says the invoice of {date} was never paid.",
    "Ms. {last} cancelled her order because of her {illness}.",
)


def card(draw: random.Random) -> str:
    """A number that passes the check of real ones, in a range that no bank gives out."""
    while True:
        digits = "9999" + "".join(draw.choices("0123456789", k=12))
        if is_card(digits):
            return " ".join(digits[start : start + 4] for start in range(0, 16, 4))


def notes(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    found = []
    for row in range(count):
        first, last = draw.choice(FIRST), draw.choice(LAST)
        day = f"{draw.randint(1950, 2004)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
        found.append(
            NOTES[row % len(NOTES)].format(
                first=first, last=last, city=draw.choice(CITIES), illness=draw.choice(ILLNESSES), date=day,
                phone=f"+44 20 7946 0{draw.randint(0, 999):03}", mail=f"{first}.{last}@example.com".lower(),
                card=card(draw), word=draw.choice(WORDS), number=draw.randint(10, 99),
            )
        )  # fmt: skip
    return found


def main() -> None:
    import lancedb

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    texts = notes(arguments.count, arguments.seed)
    vectors = load_encoder(EncoderSection(name="minilm")).encode(texts)
    rows = [{"id": f"note-{row}", "text": text, "vector": vectors[row]} for row, text in enumerate(texts)]
    lancedb.connect(str(arguments.folder)).create_table("notes", rows, mode="overwrite")
    print(f"{len(rows)} invented notes in {arguments.folder}")


if __name__ == "__main__":
    main()
