import re

import numpy as np

from saccade.agents.tables import MATRIX, PAIRS, accuracy_section, confusion_section

SUMMARY = {
    "accuracy": {"learned": [0.4, 0.6, 0.9342], "random": [0.41, 0.5], "none": []},
    "readers": "trained",
    "images_by_split": {"test": 10000},
}


def cells(text):
    """The cells of the body's rows, their tags taken away."""
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    return [[re.sub("<.*?>", "", cell) for cell in re.split(r"</t[dh]>", row)[:-1]] for row in rows]


def test_accuracy_marks_the_best_and_says_who_read():
    text = accuracy_section(SUMMARY)
    row = '<tr><th scope="row">learned</th><td>40.0</td><td class="best">60.0</td>'
    assert row + '<td class="best">93.4</td></tr>' in text
    assert cells(text)[1:] == [["learned", "40.0", "60.0", "93.4"], ["random", "41.0", "50.0", ""]]
    assert "Percent right on 10,000 test scenes" in text
    assert "a network trained for it" in text
    assert "The agent's own reader read them all".replace("'", "&#x27;") in accuracy_section(
        SUMMARY | {"readers": "own"}
    )
    assert accuracy_section({}) == ""


def test_confusion_counts_the_episodes():
    answers, labels = np.array([0, 1, 1, 2, 2, 2]), np.array([0, 1, 2, 2, 2, 2])
    text = confusion_section({}, answers, labels, ["a<b", "b", "c"])
    matrix, mistakes = text.split("</table>")[:2]
    assert cells(matrix) == [
        ["", "a&lt;b", "b", "c"],
        ["a&lt;b", "1", "", ""],
        ["b", "", "1", ""],
        ["c", "", "1", "3"],
    ]
    assert 'style="--share:0.250;--shade:var(--wrong)"' in matrix
    assert 'style="--share:0.750;--shade:var(--right)"' in matrix
    assert cells(mistakes)[1:] == [["c", "b", "1", "25.0"]]
    assert "on the 6 episodes that were recorded" in matrix


def test_confusion_takes_the_summarys_counts():
    summary = SUMMARY | {"confusion": [[90, 10], [0, 50]]}
    text = confusion_section(summary, np.zeros(1, int), np.zeros(1, int), ["a", "b"])
    assert cells(text)[1:3] == [["a", "90", "10"], ["b", "", "50"]]
    assert "on 10,000 test scenes" in text


def test_many_classes_are_a_list_of_mistakes():
    count = MATRIX + 1
    names = [f"class {k}" for k in range(count)]
    labels = np.arange(count).repeat(2)
    text = confusion_section({}, (labels + 1) % count, labels, names)
    assert "matrix" not in text
    rows = cells(text)[1:]
    assert len(rows) == PAIRS
    assert rows[0] == ["class 0", "class 1", "2", "100.0"]
    assert "No mistake on the 50 episodes" in confusion_section({}, labels, labels, names)
