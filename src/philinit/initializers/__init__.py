# SPDX-License-Identifier: Apache-2.0
"""The initializers: which distribution each of them draws for which shape."""

from philinit.initializers.base import Initializer as Initializer
from philinit.initializers.constants import Constant as Constant
from philinit.initializers.constants import Identity as Identity
from philinit.initializers.constants import Ones as Ones
from philinit.initializers.constants import Zeros as Zeros
from philinit.initializers.orthogonal import Orthogonal as Orthogonal
from philinit.initializers.plain import Normal as Normal
from philinit.initializers.plain import TruncatedNormal as TruncatedNormal
from philinit.initializers.plain import Uniform as Uniform
from philinit.initializers.scaling import GlorotNormal as GlorotNormal
from philinit.initializers.scaling import GlorotUniform as GlorotUniform
from philinit.initializers.scaling import HeNormal as HeNormal
from philinit.initializers.scaling import HeUniform as HeUniform
from philinit.initializers.scaling import KaimingNormal as KaimingNormal
from philinit.initializers.scaling import KaimingUniform as KaimingUniform
from philinit.initializers.scaling import LecunNormal as LecunNormal
from philinit.initializers.scaling import LecunUniform as LecunUniform
from philinit.initializers.scaling import VarianceScaling as VarianceScaling
from philinit.initializers.scaling import XavierNormal as XavierNormal
from philinit.initializers.scaling import XavierUniform as XavierUniform
from philinit.initializers.seeded import KeyedDistribution as KeyedDistribution
