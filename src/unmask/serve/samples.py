"""Sentences to try: easy ones are short and plain, hard ones are long or full of names and numbers."""

from __future__ import annotations

EASY = (
    "The keys are under the blue flower pot.",
    "We meet at noon in the old library.",
    "My sister adopted two black kittens last week.",
    "The train to the airport leaves in ten minutes.",
    "She forgot her umbrella at the restaurant.",
    "The doctor will call you tomorrow morning.",
    "Our neighbours are building a new garage.",
    "Please water the plants while I am away.",
    "The children played football until it was dark.",
    "He paid for the coffee with a gold coin.",
)
HARD = (
    "Invoice 4471 over 2,380 euros was sent to Marta Lindqvist on the 14th and is still unpaid.",
    "Although the committee had rejected the proposal twice, its chairwoman quietly put it on the agenda again.",
    "The patient was given 20 milligrams of prednisolone daily, which was tapered over three weeks.",
    "Rotate the API keys of the staging cluster before Friday, and tell nobody outside the platform team.",
    "Between Tromsø and Alta the coastal steamer stops at Skjervøy, Øksfjord and Hammerfest.",
    "If the plaintiff withdraws her claim, the insurer owes neither interest nor the costs of the second appeal.",
    "Gene flow among the island's lizards fell sharply once the causeway had cut their habitat in two.",
    "Our runway is five months at most, so the offer from Brightwater stays between you, me and the board.",
)
