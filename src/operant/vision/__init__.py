"""Scenes to be seen and asked about: pictures, films, charts and pages, with everything that is true of them."""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.vision.chart import Chart as Chart
    from operant.vision.chart import Figure as Figure
    from operant.vision.chart import draw_chart as draw_chart
    from operant.vision.chart import draw_figure as draw_figure
    from operant.vision.drawing import degraded as degraded
    from operant.vision.drawing import labels as labels
    from operant.vision.drawing import masks as masks
    from operant.vision.drawing import render as render
    from operant.vision.film import Film as Film
    from operant.vision.film import draw_film as draw_film
    from operant.vision.film import film_questions as film_questions
    from operant.vision.film import transform as transform
    from operant.vision.page import Page as Page
    from operant.vision.page import draw_page as draw_page
    from operant.vision.program import AmbiguousError as AmbiguousError
    from operant.vision.program import run as run
    from operant.vision.questions import Question as Question
    from operant.vision.questions import draw_question as draw_question
    from operant.vision.scene import Scene as Scene
    from operant.vision.scene import Style as Style
    from operant.vision.scene import Thing as Thing
    from operant.vision.scene import draw_scene as draw_scene
    from operant.vision.scene import turned as turned

__getattr__, __dir__ = face(
    {
        "operant.vision.chart": "Chart Figure draw_chart draw_figure",
        "operant.vision.film": "Film draw_film film_questions transform",
        "operant.vision.page": "Page draw_page",
        "operant.vision.program": "AmbiguousError run",
        "operant.vision.questions": "Question draw_question",
        "operant.vision.drawing": "degraded labels masks render",
        "operant.vision.scene": "Scene Style Thing draw_scene turned",
    }
)
