"""My notebook: the kept cells, one's own text, and files of them."""

from app.cells.my_notebook import entries, nothing_yet, title_field
from app.notebook.cell import page_title
from app.notebook.live import go_on
from app.notebook.mine import notebook

go_on()
page_title("What did you find?", "My notebook: the cells that you kept, and your own text.")
mine = notebook()
if mine.pages.entries:
    title_field(mine)
    entries(mine)
else:
    nothing_yet(mine)
