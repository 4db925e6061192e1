"""My notebook: the kept cells, one's own text, and files of them."""

from app.cells.my_notebook import entries, nothing_yet, title_field
from app.cells.notebook_files import open_field, opened, save_fields
from app.notebook.cell import page_title
from app.notebook.live import go_on
from app.notebook.mine import notebook

go_on()
head = page_title(
    "What did you find?", "My notebook: the cells that you kept, and your own text.", whole=False
)
mine = notebook()
open_field(head)
if mine.pages.entries:
    save_fields(head, mine)
opened(mine)
if mine.pages.entries:
    title_field(mine)
    entries(mine)
else:
    nothing_yet(mine)
