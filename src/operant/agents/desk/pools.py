"""Words of which worlds are made. What tasks look for by its text is in no pool of everyday talk."""

from __future__ import annotations

FIRST = (
    "Alice", "Bob", "Carla", "David", "Elena", "Felix", "Grace", "Hugo", "Irene", "Jonas", "Kira", "Leo", "Mona",
    "Nils", "Olga", "Paul", "Quinn", "Rosa", "Simon", "Tara", "Umar", "Vera", "Wanda", "Xaver", "Yara", "Zoe", "Anton",
    "Beate",
)  # fmt: skip
LAST = (
    "Abbot", "Berger", "Castro", "Dahl", "Engel", "Fisher", "Garcia", "Hansen", "Ito", "Jansen", "Keller", "Lund",
    "Meyer", "Novak", "Olsen", "Petrov", "Quist", "Rossi", "Schmidt", "Tanaka", "Ueda", "Vogel", "Weber", "Xu", "Young",
    "Zimmer", "Arnold", "Baker", "Cohen", "Duarte",
)  # fmt: skip
RELATIONS = ("friend", "colleague", "family", "neighbour")
GROUPS = ("choir", "book club", "climbing")
CHAT = (
    "Gym at 8am?", "See you later", "Running late, sorry", "Did you watch the game?", "Thanks again for yesterday",
    "Call me when you can", "Happy birthday!", "The train is delayed", "What a day", "Do you have a minute?",
    "I will be there", "Let us talk tomorrow", "Good luck!", "It rains again", "Coffee soon?", "Got home safely",
    "That was fun", "I forgot my umbrella", "Great news", "Sounds good to me", "No problem at all", "Almost there",
)  # fmt: skip
REASONS = ("taxi", "groceries", "coffee", "parking", "tickets", "flowers", "lunch", "books")
TRIPS = (
    "Maui", "Oslo", "Lisbon", "Kyoto", "Tahoe", "Banff", "Cusco", "Malta", "Crete", "Quito", "Tromso", "Zermatt",
    "Havana", "Bergen", "Porto", "Sedona",
)  # fmt: skip
BILLS = ("hotel", "cabin", "boat", "car", "flight")
THINGS = (
    "pizza", "sushi", "museum", "concert", "theatre", "bowling", "picnic", "brunch", "karaoke", "aquarium", "sauna",
    "rafting", "opera", "circus",
)  # fmt: skip
NOTES = (
    "Recipe for soup", "Garden", "Car papers", "Film list", "Songs", "Wifi at home", "Insurance", "Meter reading",
    "Book quotes", "Paint colours", "Bike repair", "Chess openings", "Language course", "Camping", "Window sizes",
)  # fmt: skip
MAILS = (
    "Weekly summary", "Hello", "Question", "Photos", "Next steps", "Draft", "A reminder", "News", "Agenda", "Thank you",
)  # fmt: skip
EVENTS = ("Standup", "Dentist", "Yoga", "Piano lesson", "Review", "Lunch", "Football", "Language class")
PLACES = ("office", "home", "café", "park", "hall 2", "library")
CATEGORIES = ("lamps", "chairs", "bags", "kettles")
PRODUCTS = {
    "lamps": ("Desk Lamp", "Floor Lamp", "Night Light"),
    "chairs": ("Armchair", "Stool", "Office Chair"),
    "bags": ("Backpack", "Tote", "Suitcase"),
    "kettles": ("Teapot", "Kettle", "Samovar"),
}
MAKES = ("Nordic", "Classic", "Compact", "Urban", "Alpine", "Retro", "Silent", "Royal")
PROJECTS = (
    "Falcon", "Cedar", "Granite", "Comet", "Harbour", "Lotus", "Meadow", "Nimbus", "Orchid", "Prairie", "Quartz",
    "Raven", "Sierra", "Tulip",
)  # fmt: skip
ITEMS = (
    "milk", "bread", "apples", "rice", "honey", "olives", "cheese", "yeast", "pasta", "plums", "beans", "salt", "leeks",
    "dates",
)  # fmt: skip
