const tip=document.getElementById('tip');
const show=e=>{const t=e.target.dataset&&e.target.dataset.tip;if(!t){tip.style.display='none';return}
const b=e.target.getBoundingClientRect();tip.textContent=t;tip.style.display='block';
tip.style.left=Math.max(8,Math.min(document.documentElement.clientWidth-tip.offsetWidth-8,b.right+4))+'px';tip.style.top=Math.max(8,b.top-tip.offsetHeight-2)+'px'};
document.addEventListener('pointerover',show);document.addEventListener('focusin',show);
