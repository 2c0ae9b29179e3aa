"""A small use case with every kind of field and dirt, for tests of files and publishing."""

from pathlib import Path

from features.usecase import parse

SHOP = parse(
    """
use_case: shop
subject: customer
events:
  sale:
    scored: true
    id: [sale_id]
    time: [paid at, ordered_at]
    time_format: ["%d.%m.%Y %H:%M"]
    timezone: Europe/Paris
    entities: {customer: who}
    fields:
      sale_id: string
      who: string
      price: {type: number, min: 0}
      pieces: {type: integer, optional: true}
      gift: {type: boolean, optional: true}
      kind: {values: [FOOD, TOYS], optional: true}
      birthday: {type: date, optional: true}
      paid at: {type: time, optional: true}
      ordered_at: time
      note: {type: string, optional: true}
    file:
      separator: ";"
      decimal: ","
      encoding: utf-8
      missing_values: ["", "N/A", "-"]
      true_values: ["ja"]
      false_values: ["nein"]
      date_format: ["%d/%m/%Y", "%Y-%m-%d"]
      columns: {ordered_at: [day, hour]}
  visit:
    id: ["*"]
    time: published
    entities: {customer: who}
    fields: {who: string, page: string}
features:
  customer:
    aggregates:
      sales: {event: sale, value: price, statistics: [count, sum], windows: [24h]}
""",
    "shop.yaml",
)
HEADER = "sale_id;who;price;pieces;gift;kind;birthday;paid at;day;hour;note"


def sales_file(folder: Path, *rows: str, name: str = "sales.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes("\n".join((HEADER, *rows, "")).encode(encoding))
    return path
