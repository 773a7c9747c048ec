"""Products, cart, orders, reviews."""

from __future__ import annotations

from operant.agents.desk.endpoints import ApiError, Desk, endpoint
from operant.agents.store import Row, like

ALL = "SELECT id, name, category, price, rating, stock FROM products"


def _shown(row: Row) -> Row:
    return row | {key: row[key] / 100 for key in ("price", "total") if key in row}


def _product(desk: Desk, id: int) -> Row:
    return desk.need("products", id, "product")


@endpoint("shop")
def login(desk: Desk, password: str) -> dict[str, str]:
    """Log in; cart, orders, reviews of one's own and the wish list need it."""
    return desk.login("shop", password)


@endpoint("shop")
def categories(desk: Desk) -> list[str]:
    """The categories of products."""
    return [row["category"] for row in desk.store.rows("SELECT DISTINCT category FROM products ORDER BY category")]


@endpoint("shop")
def search(desk: Desk, query: str = "", category: str = "", page: int = 0, limit: int = 5) -> list[Row]:
    """Products whose name holds the query, in a category if given, by name."""
    where, values = "WHERE name LIKE ? ESCAPE '\\'", [like(query)]
    if category:
        where, values = where + " AND category = ?", [*values, category]
    return [_shown(r) for r in desk.page(f"{ALL} {where} ORDER BY name, id", *values, page=page, limit=limit)]


@endpoint("shop")
def product(desk: Desk, id: int) -> Row:
    """One product."""
    return _shown(_product(desk, id))


@endpoint("shop")
def reviews(desk: Desk, product_id: int, page: int = 0, limit: int = 5) -> list[Row]:
    """Reviews of a product."""
    _product(desk, product_id)
    sql = "SELECT id, author, stars, text FROM reviews WHERE product_id = ? ORDER BY id"
    return desk.page(sql, product_id, page=page, limit=limit)


@endpoint("shop", locked=True)
def cart(desk: Desk) -> list[Row]:
    """What is in the cart."""
    sql = (
        "SELECT product_id, name, quantity, price FROM cart JOIN products ON products.id = product_id ORDER BY cart.id"
    )
    return [_shown(r) for r in desk.store.rows(sql)]


@endpoint("shop", locked=True)
def add_to_cart(desk: Desk, product_id: int, quantity: int = 1) -> Row:
    """Put so many of a product into the cart."""
    stock = _product(desk, product_id)["stock"]
    there = desk.store.row("SELECT id, quantity FROM cart WHERE product_id = ?", product_id)
    whole = quantity + (there["quantity"] if there else 0)
    if quantity < 1 or whole > stock:
        raise ApiError(422, f"quantity must be from 1 to what is in stock ({stock})")
    if there:
        desk.store.update("cart", there["id"], quantity=whole)
    else:
        desk.store.insert("cart", product_id=product_id, quantity=quantity)
    return {"message": "added"}


@endpoint("shop", locked=True)
def remove_from_cart(desk: Desk, product_id: int) -> Row:
    """Take a product out of the cart."""
    there = desk.store.row("SELECT id FROM cart WHERE product_id = ?", product_id)
    if there is None:
        raise ApiError(404, f"product {product_id} is not in the cart")
    desk.store.delete("cart", there["id"])
    return {"message": "removed"}


@endpoint("shop", locked=True)
def checkout(desk: Desk, card_id: int) -> Row:
    """Order all that is in the cart, paid by a card of payments.cards()."""
    card = desk.need("cards", card_id, "card")
    found = desk.store.rows(
        "SELECT cart.id, product_id, quantity, price FROM cart JOIN products p ON p.id = product_id"
    )
    if not found:
        raise ApiError(409, "the cart is empty")
    total = sum(r["quantity"] * r["price"] for r in found)
    if total > card["limit_"]:
        raise ApiError(409, f"the card can pay at most {card['limit_'] / 100:.2f}")
    order = desk.store.insert("orders", at=desk.store.now, status="ordered", total=total, card_id=card_id)
    for r in found:
        values = {"product_id": r["product_id"], "quantity": r["quantity"], "price": r["price"]}
        desk.store.insert("items", order_id=order, **values)
        desk.store.delete("cart", r["id"])
    return {"message": "ordered", "id": order, "total": total / 100}


@endpoint("shop", locked=True)
def orders(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """The owner's orders, newest first; shop.order gives what was ordered."""
    sql = "SELECT id, at, status, total FROM orders ORDER BY at DESC, id DESC"
    return [_shown(r) for r in desk.page(sql, page=page, limit=limit)]


@endpoint("shop", locked=True)
def order(desk: Desk, id: int) -> Row:
    """One order with its items."""
    found = _shown(desk.need("orders", id, "order"))
    sql = "SELECT i.id, product_id, name, quantity, i.price, returned FROM items i JOIN products p ON p.id = product_id"
    return found | {"items": [_shown(r) for r in desk.store.rows(f"{sql} WHERE order_id = ? ORDER BY i.id", id)]}


@endpoint("shop", locked=True)
def cancel_order(desk: Desk, id: int) -> Row:
    """Cancel an order that is not delivered."""
    if desk.need("orders", id, "order")["status"] != "ordered":
        raise ApiError(409, "only an order with status ordered can be cancelled")
    desk.store.update("orders", id, status="cancelled")
    return {"message": "cancelled"}


@endpoint("shop", locked=True)
def return_item(desk: Desk, item_id: int) -> Row:
    """Send back an item of an order that was delivered; shop.order gives item ids."""
    item = desk.need("items", item_id, "item")
    if item["returned"] or desk.need("orders", item["order_id"], "order")["status"] != "delivered":
        raise ApiError(409, "only an item that was delivered, and not returned yet, can be returned")
    desk.store.update("items", item_id, returned=1)
    return {"message": "returned"}


@endpoint("shop", locked=True)
def add_review(desk: Desk, product_id: int, stars: int, text: str = "") -> Row:
    """Review a product with 1 to 5 stars."""
    _product(desk, product_id)
    if not 1 <= stars <= 5:
        raise ApiError(422, "stars must be from 1 to 5")
    author = desk.store.rows("SELECT name FROM me")[0]["name"]
    id = desk.store.insert("reviews", product_id=product_id, author=author, stars=stars, text=text)
    return {"message": "written", "id": id}


@endpoint("shop", locked=True)
def wishes(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """The products of the wish list."""
    sql = f"{ALL} WHERE id IN (SELECT product_id FROM wishes) ORDER BY name, id"
    return [_shown(r) for r in desk.page(sql, page=page, limit=limit)]


@endpoint("shop", locked=True)
def wish(desk: Desk, product_id: int) -> Row:
    """Put a product on the wish list."""
    _product(desk, product_id)
    if desk.store.row("SELECT id FROM wishes WHERE product_id = ?", product_id):
        raise ApiError(409, "the product is on the list already")
    desk.store.insert("wishes", product_id=product_id)
    return {"message": "added"}


@endpoint("shop", locked=True)
def unwish(desk: Desk, product_id: int) -> Row:
    """Take a product from the wish list."""
    found = desk.store.row("SELECT id FROM wishes WHERE product_id = ?", product_id)
    if found is None:
        raise ApiError(404, f"product {product_id} is not on the list")
    desk.store.delete("wishes", found["id"])
    return {"message": "removed"}
