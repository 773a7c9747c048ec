"""Tables of the desk."""

SCHEMA = """
CREATE TABLE me (id INTEGER PRIMARY KEY, name TEXT, number TEXT, email TEXT, username TEXT, balance INTEGER);
CREATE TABLE passwords (id INTEGER PRIMARY KEY, app TEXT, password TEXT);
CREATE TABLE contacts (id INTEGER PRIMARY KEY, name TEXT, number TEXT, email TEXT, relation TEXT, birthday TEXT);
CREATE TABLE members (id INTEGER PRIMARY KEY, label TEXT, contact_id INTEGER);
CREATE TABLE messages (id INTEGER PRIMARY KEY, number TEXT, direction TEXT, text TEXT, at TEXT,
  unread INTEGER DEFAULT 0, starred INTEGER DEFAULT 0);
CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, name TEXT, number TEXT, friend INTEGER DEFAULT 0);
CREATE TABLE transactions (id INTEGER PRIMARY KEY, sender TEXT, receiver TEXT, amount INTEGER, note TEXT, at TEXT,
  liked INTEGER DEFAULT 0);
CREATE TABLE requests (id INTEGER PRIMARY KEY, sender TEXT, payer TEXT, amount INTEGER, note TEXT, at TEXT,
  status TEXT DEFAULT 'open');
CREATE TABLE cards (id INTEGER PRIMARY KEY, kind TEXT, last4 TEXT, limit_ INTEGER);
CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT, body TEXT, at TEXT, pinned INTEGER DEFAULT 0);
CREATE TABLE tags (id INTEGER PRIMARY KEY, note_id INTEGER, tag TEXT);
CREATE TABLE mails (id INTEGER PRIMARY KEY, folder TEXT, sender TEXT, recipient TEXT, subject TEXT, body TEXT, at TEXT,
  unread INTEGER DEFAULT 0, flagged INTEGER DEFAULT 0);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, category TEXT, price INTEGER, rating REAL, stock INTEGER);
CREATE TABLE cart (id INTEGER PRIMARY KEY, product_id INTEGER, quantity INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT, status TEXT, total INTEGER, card_id INTEGER);
CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, product_id INTEGER, quantity INTEGER, price INTEGER,
  returned INTEGER DEFAULT 0);
CREATE TABLE reviews (id INTEGER PRIMARY KEY, product_id INTEGER, author TEXT, stars INTEGER, text TEXT);
CREATE TABLE wishes (id INTEGER PRIMARY KEY, product_id INTEGER);
CREATE TABLE events (id INTEGER PRIMARY KEY, title TEXT, day TEXT, start TEXT, minutes INTEGER, place TEXT,
  status TEXT DEFAULT 'accepted');
CREATE TABLE guests (id INTEGER PRIMARY KEY, event_id INTEGER, email TEXT);
"""
