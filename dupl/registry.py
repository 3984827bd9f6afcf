"""Where components and data sets are looked up by name; a user's own class joins with a decorator.

@COMPONENTS.register_module()
class MyFilter: ...
"""

from mmengine.registry import Registry

COMPONENTS = Registry("component", scope="dupl", locations=["dupl.method"])
DATASETS = Registry("data set", scope="dupl", locations=["dupl.data"])
