"""Texts that would run as code in a page that shows them unescaped, and the question whether any did."""

#: Calls that leave a mark: `pwned` is a function of the tests' (tests/console/watching.py), `data-pwned` an element.
NAME = "\"'><img data-pwned src=x onerror=pwned(1)>"
MARKUP = (
    f"{NAME}<script data-pwned>pwned(2)</script><svg data-pwned onload=pwned(3)></svg>"
    "</textarea></script></style></title></pre><iframe data-pwned srcdoc='<script>parent.pwned(4)</script>'></iframe>"
    "<a data-pwned href=javascript:pwned(5)>x</a> [x](javascript:pwned(6)) ![x](http://pwned.example/x.png) "
    "{{ 7*'7' }} {% include 'base.html' %} ${pwned(7)} <div data-pwned hx-get=/console hx-trigger=load></div>"
    "<base data-pwned href=http://pwned.example/><form data-pwned action=http://pwned.example/><b data-pwned style=x>"
)
#: The end of an address of ours.
URL = '?"><img data-pwned src=x onerror=pwned(8)>'.replace(" ", "/")

#: In the page: what of them is there as an element, or has run.
FOUND = """() => [
    ...[...document.querySelectorAll('[data-pwned], [href^="javascript:" i], [src*="pwned.example"]')]
        .map(element => element.outerHTML.slice(0, 200)),
    ...(window.marks || []).map(mark => `ran: ${mark}`),
    ...(document.body.innerText.includes("7777777") ? ["a template in a text was evaluated"] : []),
]"""
