"""The sentences of `describe` in both languages; `walk` fills in the numbers."""

from __future__ import annotations

from reslab.claims.text import Text
from reslab.nets.paper import WORDS

TITLE = Text(
    "{name}: one image from pixels to classes, channels as they change",
    "{name}: 이미지 한 장이 픽셀에서 클래스까지 지나는 층과 채널 수",
)
ON, OFF = Text("on", "켬"), Text("off", "끔")
COLOURS = {3: Text("RGB", "RGB"), 1: Text("grey", "흑백")}
INPUT = Text("input", "입력")

N_PARAMETERS = Text(", {n} parameters", ", parameter {n}개")
N_MACS = Text(", {n} MACs", ", {n} MACs")
STRIDED = Text(" (/2 in {layers})", " (/2: {layers})")
AND = Text(" and ", ", ")

LAYERS = Text("layers      {n} with weights", "층수        {n} (weight가 있는 층)")
PARAMETERS = Text("parameters  {n} ({short})", "parameter   {n}개 ({short})")
MACS = Text("MACs        {n} ({short}) for one image", "MACs        {n} ({short}), 이미지 한 장 기준")


PAPER = Text("paper       {what}: {figure} ({source})", "논문        {what}: {figure} ({source})")
PAPER_MORE = Text("            {what}: {figure} ({source})", "            {what}: {figure} ({source})")
OURS = Text("; ours {figure}", ", 계산값 {figure}")
FIGURES_KO = {"parameters": "parameter 수", "macs": "FLOPs(곱셈-덧셈 수)"}
FIGURES = {key: Text(name, FIGURES_KO.get(key, name)) for key, name in WORDS.items()}

PLAIN = Text("plain   {n} without a shortcut", "plain   {n}개, shortcut이 없다")
STRIDE_PAPER = Text("stride  in a bottleneck's {kernel} (the paper)", "stride  bottleneck의 {kernel} (논문)")
STRIDE_V15 = Text('stride  in a bottleneck\'s {kernel} ("v1.5")', 'stride  bottleneck의 {kernel} ("v1.5")')
SHORTCUT = Text("{line:<7} {n} {what}", "{line:<7} {n}개, {what}")
IDENTITY = Text("identity: the input itself is added", "identity: 입력을 그대로 더한다")
PADDED = Text(
    "padded (option A): {pooled}{every}zeros for the channels that are missing; no parameters",
    "padded (option A): {pooled}{every}모자란 채널은 0으로 채우며 parameter가 없다",
)
EVERY_SECOND = Text("every 2nd pixel, ", "픽셀을 하나씩 건너뛰며 읽고, ")
POOLED = Text("{pool} where the map shrinks, ", "map이 작아지는 곳은 {pool}, ")
PROJECTED = Text("projected: {pooled}{what}{bn}{stride}", "projected: {pooled}{what}{bn}{stride}")
CONV, LINEAR = Text("a 1x1 convolution W_s", "1x1 convolution W_s"), Text("W_s", "W_s")
WITH_BN = Text(" and BN", "와 BN")
STRIDE_2 = Text(", of stride 2 where the map shrinks", ", map이 작아지는 곳은 stride 2")
