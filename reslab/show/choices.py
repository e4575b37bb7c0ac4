"""What the paper leaves open, as a table: fields of the recipe as chosen here, then others with their default."""

from __future__ import annotations

from typing import Any

from reslab.claims.text import Text
from reslab.runs.openchoices import OPEN_BEYOND, OPEN_CHOICES
from reslab.show.tables import Table, value

CHOICES_KO = {
    "holdout": "최종 네트워크를 'training set'에서 학습했다고만 하고, 50,000장인지 45,000장인지는 밝히지 않았다",
    "bn_batch": "GPU 두 개에 64장씩, BN을 동기화하지 않아 BN batch는 64이다. 0은 batch 전체",
    "bn_momentum": "명시하지 않았다. BN 이동 통계에서 새 batch의 비중",
    "bn_statistics": "명시하지 않았다. 'moving'은 이동 평균, 'precise'는 마지막 weight로 다시 구한 값",
    "decay_on": "weight decay를 BN의 γ, β와 bias에도 주는지('all') 아닌지('weights') 명시하지 않았다",
    "momentum_form": "명시하지 않았다. 'caffe'는 learning rate가 떨어진 뒤에도 momentum에 이전 값이 남고 'torch'는 "
    "남지 않는다",
    "last_batch": "명시하지 않았다. 다음 epoch에서 채우거나('fill') 짧게 두거나('keep') 버린다('drop')",
    "scale": "평균을 뺀다고만 하고 나눗셈은 언급하지 않았다. 'std'는 training split 전체의 표준편차 하나로 나눈다",
    "warmup_window": "'training error 80 % 미만'을 어느 구간에서 재는지 명시하지 않았다. 여기서는 반복 횟수로 정한다",
    "clean_every": "training error를 언제 어떻게 재는지 명시하지 않았다. 여기서는 evaluation mode로 전체를 다시 "
    "평가한다",
}
BEYOND_KO = {
    "head weights": "명시하지 않았다. He 초기화 [13]의 계수 2는 ReLU가 뒤따르는 층의 값인데, 마지막 층 뒤에는 ReLU가 "
    "없다",
    "fan": "명시하지 않았다. [13]은 fan-in과 fan-out을 모두 허용한다. 'in'은 forward의 분산을 유지한다. --fan",
    "pad_at": "option A가 0을 앞뒤 어느 쪽에 채우는지 명시하지 않았다. 'end'이면 채널 번호가 그대로다. --pad-at",
    "ensemble": "앙상블이 무엇을 평균하는지 명시하지 않았다. 논문의 공개 코드는 softmax이다. evaluate --ensemble",
}
BY_DEFAULT = Text("{choice} by default", "기본값 {choice}")


def choice_table(recipe: dict[str, Any], language: str = "en") -> Table:
    """Return what the paper leaves open: field, the choice here, what the paper says of it.

    First the fields of the recipe, then what belongs to the net or to the evaluation, with its default.
    """
    english = language == "en"
    chosen = [
        [key, value(recipe.get(key), language), remark if english else CHOICES_KO[key]]
        for key, remark in OPEN_CHOICES.items()
    ]
    beyond = [
        [key, BY_DEFAULT.filled(choice=choice)(language), remark if english else BEYOND_KO[key]]
        for key, (choice, remark) in OPEN_BEYOND.items()
    ]
    return [*chosen, *beyond]
