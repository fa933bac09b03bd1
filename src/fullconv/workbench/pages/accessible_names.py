"""Names for screen readers, and ways for the keyboard, where elements of NiceGUI and Quasar have none."""

from __future__ import annotations

import json

from nicegui import ui

_HEADER = """
<div class="q-uploader__header-content">
  <label class="q-uploader__title">%(label)s<q-uploader-add-trigger v-if="props.canAddFiles" /></label>
  <span v-if="props.isUploading" role="status">{{ props.uploadProgressLabel }} of {{ props.uploadSizeLabel }}</span>
  <q-btn v-if="props.canAddFiles" icon="add_box" flat dense aria-label="%(choose)s" @click="props.pickFiles" />
</div>
"""
_UPLOADER = """
.q-uploader { color: var(--text); background: transparent }
.q-uploader__header { background: var(--soft); color: var(--text); position: relative }
.q-uploader__header-content { display: flex; align-items: center; justify-content: space-between; gap: .3rem .8rem;
  padding: .4rem .8rem }
.q-uploader__header .q-btn { color: var(--accent) }
"""


def name_uploader(uploader: ui.element, label: str, *, several: bool = False) -> None:
    """Say what is to be dropped on an uploader, and give its button a name.

    Args:
        uploader: a `ui.upload` or a q-uploader.
        label: a text of ours; it becomes part of a template.
        several: files can be chosen.
    """
    ui.add_css(_UPLOADER)
    uploader.add_slot("header", _HEADER % {"label": label, "choose": "Choose files" if several else "Choose a file"})


def sort_by_keyboard(table: ui.table) -> ui.table:
    """Let the heads of columns be reached and pressed, where Quasar has them sort for a pointer alone.

    What has the focus keeps it where its row is drawn anew: cells with a template are, at every change of the table.
    """
    ui.add_css(_SORTING)
    table.add_slot("header-cell", _HEAD)
    table.on("vnodeMounted", js_handler=_KEEP_FOCUS)
    return table


def name_picture(picture: ui.interactive_image, name: str | None = None) -> None:
    """Name a picture whose places can be chosen.

    Args:
        picture: it is a group, of which the image proper has no name of its own.
        name: where it is known already.
    """
    picture.props("role=group")
    if name is not None:
        picture.props["aria-label"] = name
    picture.on("vnodeMounted", js_handler="(node) => { node.el.querySelector('img').alt = '' }")


def name_editor(editor: ui.codemirror, name: str) -> None:
    """Name the place of an editor in which one writes; it can be left with Tab, and read in any theme."""
    ui.add_css(_EDITOR)
    told = f"made.contentDOM.setAttribute('aria-label', {json.dumps(name)}); made.setTabFocusMode(true)"
    editor.on("vnodeMounted", js_handler=f"(node) => node.component.proxy.editorPromise.then((made) => {{ {told} }})")


_HEAD = """
<q-th :props="props"><button v-if="props.col.sortable" type="button" class="sorts">{{ props.col.label }}</button>
<template v-else>{{ props.col.label }}</template></q-th>
"""
_KEEP_FOCUS = """(node) => {
  const told = (one) => one.getAttribute("href") ?? one.getAttribute("aria-label") ?? one.textContent;
  let last = null, row = null;
  node.el.addEventListener("focusin", ({ target }) => {
    last = target;
    row = target.closest("tr");
  });
  node.el.addEventListener("focusout", ({ target }) => setTimeout(() => {
    if (target === last && target.isConnected) last = null;
  }));
  new MutationObserver(() => {
    if (!last || document.activeElement !== document.body) return;
    const parts = last.isConnected ? [last] : row?.isConnected ? [...row.querySelectorAll(last.tagName)] : [];
    const same = parts.find((one) => told(one) === told(last));
    last = null;
    same?.focus({ preventScroll: true });
  }).observe(node.el, { childList: true, subtree: true });
}"""
"""The row itself stays; what left it with the focus comes back to what says the same."""
_SORTING = """
.sorts { all: unset; cursor: pointer }
"""
_EDITOR = """
.cm-editor:focus-within { outline: 2px solid var(--accent) !important; outline-offset: 2px }
.cm-editor, .cm-gutters { background: var(--soft) !important; color: var(--text) !important }
.cm-editor .cm-line span { color: var(--text) !important }
.cm-editor .cm-line > span:first-child { color: var(--accent) !important }
.cm-editor .cm-content { caret-color: var(--text) } .cm-editor .cm-activeLine { background: transparent !important }
.cm-editor .cm-gutters { border: 0 !important; color: var(--faint) !important }
"""
