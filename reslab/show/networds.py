"""The words of the page that runs networks, in English and Korean; {…} is filled in by the page."""

from __future__ import annotations

from reslab.claims.text import Text

NET_PAGE: dict[str, Text] = {
    "lead": Text("Pick a picture or drop your own. The network runs on this page, and nothing leaves it.",
                 "이미지를 고르거나 끌어다 놓는다. 신경망은 이 페이지 안에서 돌고, 아무것도 밖으로 보내지 않는다."),
    "lead_pad": Text("Draw a digit, or pick one. The network runs on this page, and nothing leaves it.",
                     "숫자를 그리거나 고른다. 신경망은 이 페이지 안에서 돌고, 아무것도 밖으로 보내지 않는다."),
    "no_script": Text("This page computes in JavaScript, which is switched off here. Switch it on and reload.",
                      "이 페이지는 JavaScript로 계산하는데 지금 꺼져 있다. 켜고 다시 연다."),
    "other_language": Text("한국어", "English"),
    "strip": Text("Test pictures", "test 이미지"),
    "picture": Text("Picture {n}", "이미지 {n}"),
    "choose": Text("Choose a picture, or drop one on the page", "이미지를 고르거나 페이지에 끌어다 놓기"),
    "pad": Text("Draw a digit here with the mouse or a finger", "마우스나 손가락으로 여기에 숫자를 그린다"),
    "clear": Text("Clear", "지우기"),
    "seen": Text("What the network sees: {size}x{size} pixels", "신경망이 보는 이미지: {size}x{size} 픽셀"),
    "truth": Text("Its class: {label}", "정답: {label}"),
    "map": Text("Evidence for “{label}”: orange speaks for it, blue against it",
                "“{label}”의 근거: 주황은 찬성, 파랑은 반대"),
    "answer": Text("{label}, {share} %", "{label}, {share} %"),
    "still": Text("Without {blocks} it still answers “{label}”.", "{blocks} 없이도 답은 여전히 “{label}”이다."),
    "instead": Text("Without {blocks} it answers “{label}” instead of “{before}”.",
                    "{blocks} 없이는 답이 “{before}” 대신 “{label}”이다."),
    "blocks": Text("Switch blocks off and watch the answer", "블록을 끄고 답을 살핀다"),
    "block": Text("block {name}", "블록 {name}"),
    "all_on": Text("Switch all on", "모두 켜기"),
    "residual_off": Text("A residual block without its branch is its shortcut.",
                         "잔차 블록은 branch를 끄면 shortcut만 남는다."),
    "plain_off": Text("{n} of {all} blocks can be switched off: the others change the shape of the map, and a plain "
                      "net has no shortcut around them.",
                      "블록 {all}개 가운데 {n}개를 끌 수 있다. 나머지는 맵의 모양을 바꾸는데, plain 망에는 "
                      "돌아갈 shortcut이 없다."),
    "halves": Text("The weights are in half precision: {changed} of {compared} answers differ from those in fp32.",
                   "가중치는 반정밀도(fp16)다. fp32와 답이 다른 것은 {compared}개 가운데 {changed}개다."),
    "time": Text("computed in {ms} ms", "{ms} ms 걸림"),
    "bad": Text("{name}: this browser cannot read it as a picture. Choose a PNG or JPEG file.",
                "{name}: 이 브라우저가 이미지로 읽지 못한다. PNG나 JPEG 파일을 고른다."),
}  # fmt: skip
