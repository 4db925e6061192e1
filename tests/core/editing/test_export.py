"""An exported folder is the edited model."""

import pytest
import torch

from core import EditError, export_model, fingerprint, load_model
from tests.core.edited_models import (
    PROMPT,
    assert_untouched,
    logits_of,
    merged,
    random_edit,
    weights,
)


def test_an_exported_folder_is_the_edited_model(model, tmp_path):
    before = weights(model)
    edits = [random_edit(model, 1), random_edit(model, 2, "attn_in", 3, dense=True)]
    export_model(model, edits, tmp_path / "model")
    assert_untouched(model, before)
    exported = load_model(str(tmp_path / "model"), device="cpu")
    expected = logits_of(merged(model, edits), model.encode(PROMPT))
    got = logits_of(exported.network, exported.encode(PROMPT))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert fingerprint(exported) != fingerprint(model)
    with pytest.raises(EditError, match="other weights"):
        export_model(exported, edits, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EditError, match="cannot be written"):
        export_model(model, edits, tmp_path / "file" / "below")
